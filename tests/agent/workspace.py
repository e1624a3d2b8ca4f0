"""The tools of the tests' agents, as lines of YAML."""

from tests.servers.data_of_workspace import FUNCTION, INDEX, WAREHOUSE

_SEARCH = f"type: search, index: {INDEX}, columns: [id, text], text: text, title: title, url: url"
TOOLS = {
    "search": f"{{{_SEARCH}}}",
    "search as service": f"{{{_SEARCH}, as: service}}",
    "search if approved": f"{{{_SEARCH}, approve: true}}",
    "function": f"{{type: function, function: {FUNCTION}, warehouse: {WAREHOUSE}}}",
    "sql": f"{{type: sql, warehouse: {WAREHOUSE}, max_rows: 2, max_statements: 2}}",
}
