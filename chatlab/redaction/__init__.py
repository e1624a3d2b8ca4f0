"""Taking out of texts what is not to be told: for reports, exports, recordings and traces alike."""
