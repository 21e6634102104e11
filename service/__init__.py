"""HTTP service and shell command around a runtime engine; knows engines, never tensor libraries."""
