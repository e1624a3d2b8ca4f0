"""The routes of the stored conversations' sidebar."""
