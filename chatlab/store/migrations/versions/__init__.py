"""The steps themselves, in the order their `down_revision` says."""
