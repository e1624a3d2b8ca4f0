"""What the pages share: owners, uploads, safety headers, endpoints."""
