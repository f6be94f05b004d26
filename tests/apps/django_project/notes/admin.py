"""The model in the admin."""

from django.contrib import admin

from tests.apps.django_project.notes.models import Note

admin.site.register(Note)
