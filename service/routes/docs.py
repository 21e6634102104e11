"""The page at GET /docs: the OpenAPI document as plain HTML, made on the server, without a script.

It is imported when it is first requested.
"""

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from service.page.page import hash_content

_METHODS = ("get", "post", "put", "delete")  # in the order in which they are shown
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2530; --dim: #5b6674; --paper: #f6f7f9; --card: #fff;
  --line: #d5dae1; --accent: #1769aa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --dim: #98a3b1; --paper: #12171d;
  --card: #1b222b; --line: #36404c; --accent: #6db3f2; } }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 60rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
section { margin: 1.5rem 0; padding: .5rem 1rem 1rem; border: 1px solid var(--line);
  border-radius: 12px; background: var(--card); overflow-x: auto; }
h2, h3 { margin: .75rem 0 .25rem; }
h3 { font-size: 1rem; color: var(--dim); }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { margin: .5rem 0; overflow-x: auto; }
p { margin: .25rem 0; }
table { width: 100%; border-collapse: collapse; }
td, th { padding: .3rem .75rem .3rem 0; border-top: 1px solid var(--line); text-align: left;
  vertical-align: top; font-weight: normal; }
th { white-space: nowrap; }
small { color: var(--dim); }
a { color: var(--accent); }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary} Version {version}. For programs: <a href="openapi.json">openapi.json</a>;
to try it: <a href=".">the page</a>.</p>
<nav><ul>{index}</ul></nav>
{operations}
{keys}
<h1>Contents of bodies</h1>
{schemas}
</body>
</html>
"""


def render_docs(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document; all its texts are escaped."""
    operations = [
        (method, path, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    operations.sort(key=lambda operation: operation[0] != "post")  # what the service is for, first
    components = document.get("components", {})
    schemas, schemes = components.get("schemas", {}), components.get("securitySchemes", {})
    return _PAGE.format(
        title=escape(document["info"]["title"]),
        summary=escape(document["info"].get("summary", "")),
        version=escape(document["info"]["version"]),
        style=_STYLE,
        index="".join(_list_operation(*operation) for operation in operations),
        operations="\n".join(_render_operation(*operation, schemes) for operation in operations),
        keys=_render_keys(schemes),
        schemas="\n".join(_render_schema(name, schemas[name]) for name in sorted(schemas)),
    )


def _list_operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    name = f"{method.upper()} {path}"
    summary = escape(operation.get("summary", ""))
    return f'<li><a href="#{_name_anchor(name)}"><code>{escape(name)}</code></a> {summary}</li>'


def _render_operation(
    method: str, path: str, operation: Mapping[str, Any], schemes: Mapping[str, Any]
) -> str:
    name = f"{method.upper()} {path}"
    parts = [f"<h2><code>{escape(name)}</code></h2>"]
    texts = (operation.get("summary"), operation.get("description"))
    parts += [f"<p>{_write_text(text)}</p>" for text in dict.fromkeys(texts) if text]
    body = operation.get("requestBody", {})
    wanted = [name for choice in operation.get("security", ()) for name in choice]
    command = _write_curl(method, path, body, _find_header(wanted, schemes))
    parts.append(f"<pre>{escape(command)}</pre>")
    if wanted:
        parts.append(f"<p>Asks for a key: {_list_links(wanted)}.</p>")
    if parameters := operation.get("parameters"):
        parts += ["<h3>Parameters</h3>", _render_table(map(_describe_parameter, parameters))]
    if body:
        rows = [
            (f"<code>{escape(kind)}</code>", _describe_type(content.get("schema", {})))
            for kind, content in body["content"].items()
        ]
        parts += ["<h3>Body</h3>", f"<p>{_write_text(body.get('description', ''))}</p>"]
        parts.append(_render_table(rows))
    rows = [_describe_response(*row) for row in operation["responses"].items()]
    parts += ["<h3>Answers</h3>", _render_table(rows)]
    return f'<section id="{_name_anchor(name)}">{"".join(parts)}</section>'


def _render_keys(schemes: Mapping[str, Any]) -> str:
    """The section about keys; empty if no keys are needed."""
    if not schemes:
        return ""
    parts = [
        f'<section id="{_name_anchor(f"key {name}")}"><h2><code>{escape(name)}</code></h2>'
        f"<p>{_write_text(scheme.get('description', ''))}</p></section>"
        for name, scheme in schemes.items()
    ]
    return f"<h1>Keys</h1>{''.join(parts)}"


def _list_links(schemes: Iterable[str]) -> str:
    """The names of the ways to send a key, each a link to its description."""
    return " or ".join(
        f'<a href="#{_name_anchor(f"key {name}")}"><code>{escape(name)}</code></a>'
        for name in schemes
    )


def _find_header(wanted: Iterable[str], schemes: Mapping[str, Any]) -> str:
    """The header with a key from a shell variable, for the first known way to send it."""
    for name in wanted:
        match schemes.get(name, {}):
            case {"type": "http", "scheme": "bearer"}:
                return '-H "Authorization: Bearer $KEY" '
            case {"type": "apiKey", "in": "header", "name": header}:
                return f'-H "{header}: $KEY" '
    return ""


def _write_curl(method: str, path: str, body: Mapping[str, Any], key: str) -> str:
    """The command for a first try, at the service's default address."""
    url = f"{key}http://127.0.0.1:8000{path}"
    contents = body.get("content", {})
    if form := contents.get("multipart/form-data"):
        files = "".join(f"-F {name}=@FILE " for name in form["schema"].get("required", ()))
        return f"curl {files}{url}"
    if contents:
        return f"curl -X {method.upper()} -H 'Content-Type: {next(iter(contents))}' -d @FILE {url}"
    return f"curl {url}" if method == "get" else f"curl -X {method.upper()} {url}"


def _describe_parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    schema = parameter.get("schema", {})
    return (
        f"<code>{escape(parameter['name'])}</code><br><small>{escape(parameter['in'])}"
        f"{', required' if parameter.get('required') else ''}</small>",
        _describe_type(schema),
        _write_text(parameter.get("description", "")),
    )


def _describe_response(status: str, response: Mapping[str, Any]) -> tuple[str, str]:
    lines = [_write_text(response.get("description", ""))]
    for kind, content in response.get("content", {}).items():
        lines.append(f"<code>{escape(kind)}</code>: {_describe_type(content.get('schema', {}))}")
    for name, header in response.get("headers", {}).items():
        text = _write_text(header.get("description", ""))
        lines.append(f"<small>header <code>{escape(name)}</code>: {text}</small>")
    return f"<code>{escape(str(status))}</code>", "<br>".join(lines)


def _render_schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(member)}</code>"
            + ("" if member in required else "<br><small>may be absent</small>"),
            _describe_type(content),
            _write_text(content.get("description", "")),
        )
        for member, content in schema.get("properties", {}).items()
    ]
    text = _write_text(schema.get("description", ""))
    content = _render_table(rows) if rows else _describe_type(schema)
    head = f"<h2><code>{escape(name)}</code></h2><p>{text}</p>"
    return f'<section id="{_name_anchor(name)}">{head}{content}</section>'


def _describe_type(schema: Mapping[str, Any]) -> str:
    """The allowed values in words; a reference is a link to its table."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f'<a href="#{_name_anchor(name)}">{escape(name)}</a>'
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return " or ".join(map(_describe_type, schema[choice]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_describe_type(schema.get('items', {}))}{_describe_bounds(schema)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object, each member {_describe_type(schema['additionalProperties'])}"
    if kind == "object" and "properties" in schema:
        members = [
            f"<code>{escape(name)}</code>: {_describe_type(content)}"
            for name, content in schema["properties"].items()
        ]
        return f"fields {', '.join(members)}"
    text = "bytes" if schema.get("format") == "binary" else escape(str(kind))
    return text + _describe_bounds(schema)


def _describe_bounds(schema: Mapping[str, Any]) -> str:
    least = schema.get("minimum", schema.get("minItems"))
    most = schema.get("maximum", schema.get("maxItems"))
    words = []
    if least is not None and most is not None:
        words.append(f"{least} to {most}")
    elif least is not None:
        words.append(f"from {least} on")
    elif most is not None:
        words.append(f"up to {most}")
    if "enum" in schema:
        words.append("one of " + ", ".join(map(str, schema["enum"])))
    if schema.get("default") is not None:
        words.append(f"default {schema['default']}")
    if examples := schema.get("examples"):
        words.append(f"such as {examples[0]}")
    return f" <small>{escape(', '.join(words))}</small>" if words else ""


def _render_table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = [
        f"<tr><th>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    ]
    return f"<table>{''.join(lines)}</table>"


def _write_text(text: str) -> str:
    """Escapes a text; text between backticks becomes code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _name_anchor(name: str) -> str:
    return escape("-".join(name.replace("/", " ").split()))


DOCS_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {hash_content(_STYLE)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
