"""The paths of the project."""

from django.contrib import admin
from django.urls import path

from tests.apps.django_project import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", views.home),
    path("items/<int:number>", views.item),
    path("items", views.create),
    path("upload", views.upload),
    path("stream", views.stream),
    path("release", views.release),
    path("endless", views.endless),
    path("left", views.left),
    path("meet", views.meet),
    path("fail", views.fail),
    path("ended", views.ended),
]
