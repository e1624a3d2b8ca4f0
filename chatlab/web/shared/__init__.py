"""What the pages share: owners, uploads, the content security policy, endpoints."""
