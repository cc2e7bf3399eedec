"""The manager's pages: server-made HTML under the same process as ``/v1``; see `serving.pages.site`."""
