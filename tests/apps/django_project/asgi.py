"""The project as an ASGI application, with the static files of its apps before it."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.apps.django_project.settings")

application = ASGIStaticFilesHandler(get_asgi_application())
