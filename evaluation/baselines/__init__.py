"""HEAR modules of the systems that our models are compared with."""
