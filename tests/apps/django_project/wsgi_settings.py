"""The project's settings, with the views that do without an event loop."""

from tests.apps.django_project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.apps.django_project.wsgi_urls"
