"""The steps from one version of the tables to the next; `chatlab.store.migrating` takes them.

A new SQLite file is made of `newest_sqlite.sql` instead, which is what they come to. So a new step is named
in `chatlab.store.schema.VERSIONS`, and that file is made anew: `tests/store/test_schema.py` says how.
"""
