"""What the Rust tokenizers and Jinja2 as Transformers runs it make of what stands on the input: one JSON object a line, one answer a line.

{"tokenizer": PATH, "texts": [TEXT...]}    {"ids": [[ID...]...], "decoded": [TEXT...]}
{"pre_tokenizer": {...}, "texts": [TEXT...]}   {"pieces": [[TEXT...]...]}
{"template": TEXT, "variables": {...}}     {"text": TEXT} or {"error": MESSAGE}
{"versions": true}                         {"tokenizers": ..., "jinja2": ..., "transformers": ...}
"""

import json
import sys

import jinja2
import tokenizers
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template


def tokenize(path, texts, lists):
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    whole = [tokenizer.encode(text).ids for text in texts[:8]]
    decoded = [tokenizer.decode(row, skip_special_tokens=False) for row in [*ids, *lists]]
    return {"ids": ids, "whole": whole, "decoded": decoded}


def cut(pre_tokenizer, texts):
    model = {"type": "BPE", "vocab": {}, "merges": []}
    whole = tokenizers.Tokenizer.from_str(json.dumps({"version": "1.0", "pre_tokenizer": pre_tokenizer, "model": model}))
    return {"pieces": [[piece for piece, _ in whole.pre_tokenizer.pre_tokenize_str(text)] for text in texts]}


def written(messages):
    messages = json.loads(json.dumps(messages))
    for message in messages:
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return messages


def answer(request):
    if "versions" in request:
        return {module.__name__: module.__version__ for module in (tokenizers, jinja2, transformers)}
    if "tokenizer" in request:
        return tokenize(request["tokenizer"], request["texts"], request["lists"])
    if "pre_tokenizer" in request:
        return cut(request["pre_tokenizer"], request["texts"])
    template, variables = _compile_jinja_template(request["template"]), request["variables"]
    try:
        return {"text": template.render(**variables)}
    except TypeError:
        # Some templates join the arguments of tool calls to text, and so expect JSON text.
        if not any(message.get("tool_calls") for message in variables["messages"]):
            raise
        return {"text": template.render(**{**variables, "messages": written(variables["messages"])}), "written": True}


for line in sys.stdin:
    try:
        result = answer(json.loads(line))
    except Exception as error:  # Whatever a template or file raises is the answer.
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result), flush=True)
