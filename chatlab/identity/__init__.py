"""The identity of people: signing in at a provider, and staying signed in."""
