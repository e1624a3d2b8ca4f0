"""The steps from one version of the tables to the next; `chatlab.store.schema_state` takes them."""
