"""Programs that run in the interpreters of peers; they import nothing of ours. See serve.py."""
