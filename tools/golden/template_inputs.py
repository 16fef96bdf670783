"""Message lists for chat templates: ordinary ones, and what may trip an interpreter up."""
import random

TEXTS = [
    "Hello!", "What is the capital of France?", "", " ", "  padded\t", "\n\nline\n\nbreaks\r\n\r\nhere\n",
    "It's a \"quoted\" word", "back\\slash \\n and {{ braces }} {% tag %}", "<b>&amp;</b> 1 < 2 > 0",
    "Grüße, 世界! 🙂", "e\u0301 \u00a0nbsp\u3000wide\u2028sep", "ΑΣΣΟΣ straße İstanbul", "\u0000\u0001\u007f",
    "<think>\nLet me see.\n</think>\n\nThe answer is 42.", "</think>", "a</think>b</think>c", "/no_think hi",
    "```python\nprint('x')\n```", "[INST] hi [/INST]", "<|im_end|>", "1,234.50", "trailing newline\n",
    "tab\tseparated\tvalues", "x" * 60, "😀" * 5,
]
CITIES = ["Paris", "São Paulo", "O'Fallon", "\"Quote\" City", "", "東京"]
ROLES = ["user", "assistant", "system", "tool", "moderator"]


def tool(rng):
    name = rng.choice(["get_weather", "add", "no_parameters", "search"])
    types = ["string", "integer", "number", "boolean", ["string", "null"], "array", "object"]
    properties = {}
    for i in range(rng.choice([0, 1, 2, 3])):
        field = {"type": rng.choice(types), "description": rng.choice(TEXTS)}
        if rng.random() < 0.3:
            field["enum"] = rng.sample(CITIES, 2)
        if rng.random() < 0.2:
            field["default"] = rng.choice([None, True, False, 0, 1.5, -3, 1e100, "x"])
        properties[rng.choice(["city", "unit", "a", "b", "größe"]) + str(i)] = field
    function = {"name": name, "description": rng.choice(["Looks it up.", "Say \"what\"?", " x "]),
                "parameters": {"type": "object", "properties": properties,
                               "required": list(properties)[:1]}}
    if rng.random() < 0.2:
        function["return"] = {"type": "string", "description": "The result."}
    return function if rng.random() < 0.1 else {"type": "function", "function": function}


def tool_call(rng):
    arguments = {"city": rng.choice(CITIES), "days": rng.choice([1, 2.0, None, True, [1, "a"]])}
    if rng.random() < 0.3:
        arguments = {}
    call = {"type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    if rng.random() < 0.2:
        call["function"]["arguments"] = '{"city": "Paris"}'
    if rng.random() < 0.9:
        call["id"] = rng.choice(["abcdef123", "123456789", "short"])
    return call


def plain_messages(rng):
    """An optional system message, then turns that alternate."""
    messages = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": rng.choice(TEXTS)})
    for i in range(rng.choice([1, 1, 2, 3, 4, 5])):
        role = "assistant" if i % 2 else "user"
        messages.append({"role": role, "content": rng.choice(TEXTS)})
    return messages


def tool_messages(rng):
    messages = plain_messages(rng)[:2] or [{"role": "user", "content": "hi"}]
    if messages[-1]["role"] != "user":
        messages.append({"role": "user", "content": rng.choice(TEXTS)})
    calls = [tool_call(rng) for _ in range(rng.choice([1, 1, 2]))]
    content = rng.choice([None, "", "Let me look."])
    messages.append({"role": "assistant", "content": content, "tool_calls": calls})
    for call in calls:
        answer = {"role": "tool", "content": rng.choice(TEXTS + ['{"temperature": 21}'])}
        if rng.random() < 0.9:
            answer["tool_call_id"] = call.get("id", "abcdef123")
        messages.append(answer)
    if rng.random() < 0.6:
        messages.append({"role": "assistant", "content": rng.choice(TEXTS)})
    return messages


def odd_messages(rng):
    """Roles in any order, messages without content, content in parts."""
    messages = []
    for _ in range(rng.choice([1, 2, 3])):
        message = {"role": rng.choice(ROLES), "content": rng.choice(TEXTS)}
        kind = rng.random()
        if kind < 0.1:
            del message["content"]
        elif kind < 0.2:
            message["content"] = [{"type": "text", "text": rng.choice(TEXTS)},
                                  {"type": "image"}, {"type": "text", "text": "more"}]
        elif kind < 0.25:
            message["content"] = None
        elif kind < 0.3:
            del message["role"]
        messages.append(message)
    return messages if rng.random() < 0.9 else []


def make(count, seed):
    rng = random.Random(seed)
    inputs = []
    for _ in range(count):
        kind = rng.random()
        messages = (plain_messages(rng) if kind < 0.55 else
                    tool_messages(rng) if kind < 0.8 else odd_messages(rng))
        variables = {"messages": messages}
        if rng.random() < 0.95:
            variables["add_generation_prompt"] = rng.random() < 0.6
        if rng.random() < 0.95:
            variables["bos_token"] = "<s>"
            variables["eos_token"] = "</s>"
        if 0.5 < kind < 0.85:
            variables["tools"] = [tool(rng) for _ in range(rng.choice([0, 1, 2]))]
        elif rng.random() < 0.2:
            variables["tools"] = None
        if rng.random() < 0.1:
            variables["documents"] = [{"doc_id": 1, "title": "T", "text": rng.choice(TEXTS)}]
        if rng.random() < 0.1:
            variables["enable_thinking"] = rng.random() < 0.5
        inputs.append(variables)
    return inputs
