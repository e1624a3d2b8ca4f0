"""The built-in kinds. A class is imported by `chatlab.config.registry` when its kind is used."""

KINDS = {
    "echo": "backends.echo:EchoBackend",
    "replay": "backends.replay:ReplayBackend",
    "openai": "backends.openai:OpenAIBackend",
    "langchain": "backends.langchain:LangChainBackend",
    "huggingface": "backends.huggingface:HuggingFaceBackend",
    "databricks": "backends.databricks:DatabricksBackend",
}
