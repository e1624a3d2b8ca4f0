"""The common part of the pages: owners, uploads, safety headers, endpoints."""
