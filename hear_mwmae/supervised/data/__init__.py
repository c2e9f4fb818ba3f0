"""Labelled data: the layouts that data sets come in, augmentation, and batches of both."""
