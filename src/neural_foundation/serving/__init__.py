"""Serving: exported packages as a service, with access, limits and a page where people look."""
