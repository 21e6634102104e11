"""How requests name a model: in a query, and in the Open Inference Protocol with its twin."""

#: Ends the name of the twin, which takes image files where the model itself takes tensors.
TWIN_SUFFIX = "_image"


def list_names(name: str) -> tuple[str, str]:
    """Both names of a model."""
    return name, f"{name}{TWIN_SUFFIX}"


def may_name_model(query: bytes) -> bool:
    """Whether a query string has to be parsed to know if it names a model."""
    return b"model" in query or b"%" in query
