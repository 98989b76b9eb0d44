"""What several tests share. Imported as ``support``: tests/conftest.py puts this folder's parent on the path."""
