"""PyPI's `openai`, unchanged, against a whole stack: its address and key come in EPITHRE_URL and EPITHRE_API_KEY."""

import asyncio
import base64
import json
import os
import time
import unittest
import urllib.request

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

URL = os.environ["EPITHRE_URL"]
KEY = os.environ["EPITHRE_API_KEY"]
ENGINE = os.environ["EPITHRE_ENGINE_URL"]
MODEL = "simulated-chat"


def client(**options):
    return OpenAI(base_url=f"{URL}/v1", **{"api_key": KEY, "max_retries": 0, **options})


def user(content):
    return [{"role": "user", "content": content}]


def engine_total():
    with urllib.request.urlopen(f"{ENGINE}/simulated/counts") as answer:
        counts = json.load(answer)
    return {**counts["total"], "open": counts["open"]}


def engine_reset():
    urllib.request.urlopen(urllib.request.Request(f"{ENGINE}/simulated/reset", data=b"{}", method="POST")).close()


def wait_for(condition, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Place(BaseModel):
    city: str
    population: int


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class OpenAIPython(unittest.TestCase):
    def setUp(self):
        engine_reset()

    def test_chat_has_usage_and_cost(self):
        answer = client().chat.completions.create(model=MODEL, messages=user("eight by"))
        self.assertIn("simulated", answer.choices[0].message.content)
        self.assertEqual((answer.usage.prompt_tokens, answer.usage.completion_tokens), (10, 20))
        self.assertGreater(answer.usage.cost_micro_rupiah, 0)

    def test_stream_begins_while_the_engine_generates(self):
        stream = client().chat.completions.create(
            model=MODEL, messages=user("[[simulate tokens=40 interval_ms=25]]"), stream=True
        )
        generated_at_first, text = None, ""
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                if generated_at_first is None:
                    generated_at_first = engine_total()["completionTokens"]
                text += chunk.choices[0].delta.content
            self.assertIsNone(chunk.usage)
        self.assertLess(generated_at_first, 30)
        self.assertEqual(len(text), 160)

    def test_stream_with_usage(self):
        chunks = list(
            client().chat.completions.create(
                model=MODEL, messages=user("x"), stream=True, stream_options={"include_usage": True}
            )
        )
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, 20)
        self.assertGreater(chunks[-1].usage.cost_micro_rupiah, 0)

    def test_tools(self):
        called = client().chat.completions.create(model=MODEL, messages=user("weather?"), tools=[TOOL])
        call = called.choices[0].message.tool_calls[0]
        self.assertEqual((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "simulated"}))

    def test_streamed_tools(self):
        with client().chat.completions.stream(model=MODEL, messages=user("weather?"), tools=[TOOL]) as stream:
            final = stream.get_final_completion()
        call = final.choices[0].message.tool_calls[0]
        self.assertEqual(json.loads(call.function.arguments), {"city": "simulated"})

    def test_structured_output(self):
        answer = client().chat.completions.parse(model=MODEL, messages=user("x"), response_format=Place)
        self.assertEqual(answer.choices[0].message.parsed, Place(city="simulated", population=1))

    def test_choices_logprobs_stop_and_a_long_seed(self):
        answer = client().chat.completions.create(model=MODEL, messages=user("x"), n=2, logprobs=True, top_logprobs=2)
        self.assertEqual(len(answer.choices), 2)
        self.assertEqual(len(answer.choices[1].logprobs.content[0].top_logprobs), 2)
        stopped = client().chat.completions.create(model=MODEL, messages=user("x"), stop="answer")
        self.assertEqual(stopped.choices[0].message.content, "This ")
        seeded = client().chat.completions.create(model=MODEL, messages=user("x"), seed=2**63 - 1)
        self.assertIn(f"seed {2**63 - 1}", seeded.choices[0].message.content)

    def test_completions(self):
        self.assertEqual(len(client().completions.create(model=MODEL, prompt=["a", "b"]).choices), 2)

    def test_embeddings_by_default_and_as_floats(self):
        by_default = client().embeddings.create(model="simulated-embedding", input=["a", "b"])
        floats = client().embeddings.create(model="simulated-embedding", input=["a", "b"], encoding_format="float")
        self.assertEqual(len(by_default.data), 2)
        for one, other in zip(by_default.data[1].embedding, floats.data[1].embedding):
            self.assertAlmostEqual(one, other, places=6)

    def test_images(self):
        picture = ("photo.png", b"not looked at", "image/png")
        images = client().images
        generated = images.generate(model="simulated-image", prompt="a lake", n=2)
        edited = images.edit(model="simulated-image", image=picture, prompt="add a boat")
        varied = images.create_variation(model="simulated-image", image=picture)
        for each in [*generated.data, *edited.data, *varied.data]:
            self.assertEqual(base64.b64decode(each.b64_json)[1:4], b"PNG")

    def test_models(self):
        self.assertIn(MODEL, [model.id for model in client().models.list()])
        self.assertEqual(client().models.retrieve(MODEL).context_length, 32768)

    def test_error_classes(self):
        cases = [
            (openai.AuthenticationError, {"api_key": "ep_nonsense"}, {}),
            (openai.NotFoundError, {}, {"model": "nothing"}),
            (openai.BadRequestError, {}, {"temperature": "hot"}),
            (openai.BadRequestError, {}, {"messages": user("[[simulate error=context]]")}),
            (openai.InternalServerError, {}, {"messages": user("[[simulate status=500]]")}),
        ]
        for kind, options, fields in cases:
            with self.subTest(kind=kind.__name__), self.assertRaises(kind) as caught:
                client(**options).chat.completions.create(**{"model": MODEL, "messages": user("x"), **fields})
            self.assertIsInstance(caught.exception.body["message"], str)
        self.assertEqual(caught.exception.code, "backend_error")

    def test_retries_are_seen_by_the_engine(self):
        with self.assertRaises(openai.InternalServerError):
            client(max_retries=2).chat.completions.create(model=MODEL, messages=user("[[simulate status=500]]"))
        self.assertEqual(engine_total()["requests"], 3)

    def test_a_broken_stream_is_an_error(self):
        stream = client().chat.completions.create(model=MODEL, messages=user("[[simulate reset after=3]]"), stream=True)
        with self.assertRaises(openai.APIError):
            list(stream)

    def test_leaving_a_stream_ends_it_at_the_engine(self):
        stream = client().chat.completions.create(model=MODEL, messages=user("[[simulate hang after=3]]"), stream=True)
        next(iter(stream))
        stream.close()
        wait_for(lambda: engine_total()["aborted"] == 1, timeout_s=1.0)

    def test_time_out(self):
        with self.assertRaises(openai.APITimeoutError):
            client(timeout=0.3).chat.completions.create(model=MODEL, messages=user("[[simulate hang]]"))
        wait_for(lambda: engine_total()["aborted"] == 1)

    def test_async_client(self):
        async def ask():
            async with AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY) as caller:
                answers = await asyncio.gather(
                    *(caller.chat.completions.create(model=MODEL, messages=user("x")) for _ in range(20))
                )
                text = ""
                async for chunk in await caller.chat.completions.create(model=MODEL, messages=user("x"), stream=True):
                    text += chunk.choices[0].delta.content or ""
                return answers, text

        answers, text = asyncio.run(ask())
        self.assertEqual((len(answers), len(text)), (20, 80))


if __name__ == "__main__":
    unittest.main(verbosity=2)
