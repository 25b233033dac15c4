"""Records, samples and batches: layouts, processors, stores, collation."""
