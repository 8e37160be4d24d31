"""Digests of uploads: computed while a body comes, and kept beside the stored file."""
