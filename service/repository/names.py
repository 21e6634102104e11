"""How a model is called in the Open Inference Protocol: by its name, and by that of its twin."""

#: Ends the name of the twin, which takes image files where the model itself takes tensors.
TWIN_SUFFIX = "_image"


def list_names(name: str) -> tuple[str, str]:
    """Both names of a model."""
    return name, f"{name}{TWIN_SUFFIX}"
