"""The paths of the project, as far as they differ without an event loop."""

from django.urls import path

from tests.apps.django_project import wsgi_views
from tests.apps.django_project.urls import urlpatterns as others

urlpatterns = [
    path("stream", wsgi_views.stream),
    path("release", wsgi_views.release),
    path("endless", wsgi_views.endless),
    path("left", wsgi_views.left),
    path("meet", wsgi_views.meet),
    *others,
]
