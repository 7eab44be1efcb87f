"""The report of a fit: one page that a browser shows and a printer prints."""
