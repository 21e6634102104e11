"""runtime.errors: the tree in the module's text is the tree in the code."""

from runtime import errors


def test_docstring_draws_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        words = line.replace("│", " ").replace("├── ", "    ").replace("└── ", "    ").split()
        if words and hasattr(errors, words[0]):
            depth = (len(line) - len(line.lstrip(" │├└─"))) // 4
            path[depth:] = [words[0]]
            drawn[words[0]] = path[depth - 1] if depth else "Exception"
    defined = {
        name: value.__base__.__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert drawn == defined
