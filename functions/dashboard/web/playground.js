/** A conversation with a model, streamed. It exists in this page's memory until it is cleared or the page goes. */
import { call, errorOf, events, explain, isAbort } from "./api.js";
import { announce, byId, el } from "./page.js";
import { t } from "./text.js";
import { showTurn } from "./turn.js";

let messages = [];
let running = null;

/** `onAnswered()` runs after each call, when the balance has changed. */
export function startPlayground({ onAnswered }) {
  const form = byId("playground-form");
  const prompt = byId("playground-prompt");

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = prompt.value.trim();
    if (running || !text) return;
    prompt.value = "";
    const answered = await answer(text);
    // The question that failed is there to send again.
    if (!answered && !byId("playground-form").hidden) prompt.value ||= text;
    onAnswered();
  });
  prompt.addEventListener("keydown", (event) => {
    // An input method uses Enter to choose a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  byId("playground-stop").addEventListener("click", () => running?.abort());
  byId("playground-clear").addEventListener("click", () => {
    clear();
    announce(t("playground.cleared"));
    prompt.focus();
  });
}

/** Offers the chat models of the key; none hides the form. */
export function offerModels(models) {
  const chat = models.filter((model) => model.kind === "chat");
  byId("playground-model").replaceChildren(...chat.map(({ id }) => el("option", { value: id }, id)));
  byId("playground-form").hidden = chat.length === 0;
  byId("playground-empty").hidden = chat.length > 0;
}

export function forgetConversation() {
  clear();
  byId("playground-prompt").value = "";
  offerModels([]);
}

function clear() {
  running?.abort();
  messages = [];
  byId("conversation").replaceChildren();
}

/** False when it failed; what was generated until then stands in the conversation all the same. */
async function answer(text) {
  const history = messages;
  const question = { role: "user", content: text };
  const turn = showTurn(text, byId("playground-model").value);
  const controller = new AbortController();
  setRunning(controller);
  announce(t("playground.answering"));
  let failed = false;
  try {
    await streamInto(turn, [...history, question], controller.signal);
    announce(t("playground.answered"));
  } catch (error) {
    failed = !isAbort(error);
    if (failed) turn.fail(error.code ? explain(error) : t("playground.cut"));
    else turn.note(t("playground.stopped"));
  }
  turn.end();
  // A conversation that was cleared meanwhile stays cleared; a turn without an answer would spoil the next one.
  if (messages === history && turn.content) messages = [...history, question, { role: "assistant", content: turn.content }];
  if (running === controller) setRunning(null);
  return !failed;
}

/** Throws ApiError, AbortError when it was stopped, and SyntaxError when the stream ends before it said so. */
async function streamInto(turn, conversation, signal) {
  const response = await call("/v1/chat/completions", {
    // OpenFaaS's gateway streams only what was asked for with this.
    accept: "text/event-stream",
    signal,
    body: {
      model: byId("playground-model").value,
      messages: conversation,
      max_tokens: byId("playground-limit").valueAsNumber,
      temperature: byId("playground-temperature").valueAsNumber,
      stream: true,
      stream_options: { include_usage: true },
    },
  });
  let complete = false;
  for await (const data of events(response)) {
    complete = data === "[DONE]";
    if (complete) continue;
    const chunk = JSON.parse(data);
    if (chunk.error) throw errorOf(chunk.error);
    turn.take(chunk);
  }
  if (!complete) throw new SyntaxError("The stream has no end");
}

function setRunning(controller) {
  const stop = byId("playground-stop");
  const hadFocus = document.activeElement === stop;
  running = controller;
  byId("playground-send").hidden = controller !== null;
  stop.hidden = controller === null;
  if (hadFocus) byId("playground-prompt").focus();
}
