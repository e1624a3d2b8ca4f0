"""Who somebody is: signing in at a provider, and staying signed in."""
