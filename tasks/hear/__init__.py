"""The tasks of HEAR, one small file each, and what their originals say of them."""
