"""Any HEAR module by name: found, loaded, held still and fingerprinted."""
