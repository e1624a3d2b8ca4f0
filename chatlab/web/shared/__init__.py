"""What both pages share: whose browser it is, uploads, the content security policy, endpoints."""
