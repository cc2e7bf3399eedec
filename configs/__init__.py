"""What the project says: YAML configs, their typed schema, closed vocabularies and the one error tree.

The bottom layer: imports nothing else of Forecastle, and no heavy library (pydantic and PyYAML only).
"""
