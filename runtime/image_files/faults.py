"""The messages for refused image files: one sentence for each kind of fault.

Every text says expected, found and remedy; none quotes the file.
"""

from runtime.errors import ImageTooLarge, InvalidImage, UnsupportedImage

#: The formats that are read, as texts name them.
ACCEPTED = "JPEG, PNG, WebP or AVIF"
#: Pillow's name of each of them -> what people call it.
NAMES = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP", "AVIF": "AVIF"}
_CONVERT = "Convert the image to one of these."


def damaged(kind: str) -> InvalidImage:
    """The file cannot be read; `kind` is Pillow's name of the format."""
    return InvalidImage(
        f"expected a readable {NAMES[kind]} file; found damaged or incomplete content. "
        "Save the image anew."
    )


def incomplete(kind: str) -> InvalidImage:
    """The file ends before the image does."""
    return InvalidImage(
        f"expected a complete {NAMES[kind]} file; found one that ends too early. "
        "Send the whole file."
    )


def unsupported(found: str, remedy: str = _CONVERT) -> UnsupportedImage:
    """The file may be intact, but its kind is not supported."""
    return UnsupportedImage(f"expected a {ACCEPTED} file; found {found}. {remedy}")


def unreadable(kind: str) -> UnsupportedImage:
    """The decoder of a format is missing."""
    return unsupported(f"{NAMES[kind]}, which this build of Pillow cannot read", "Send a JPEG.")


def too_large(unit: str, limit: int, found: int, remedy: str) -> ImageTooLarge:
    """More of something than the limit allows."""
    return ImageTooLarge(f"expected at most {limit} {unit}; found {found}. {remedy}")
