"""The project as a WSGI application, with the static files of its apps before it."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.apps.django_project.wsgi_settings")

application = StaticFilesHandler(get_wsgi_application())
