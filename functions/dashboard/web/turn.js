/** One turn of a conversation on the page: the question, and the answer as it comes. */
import { byId, el } from "./page.js";
import { number, rupiah, t } from "./text.js";

/** Pixels from the end of the conversation within which it follows the answer. */
const followDistance = 48;

const finishText = { length: "playground.short", content_filter: "playground.filtered", tool_calls: "playground.called" };

export function showTurn(question, model) {
  const box = byId("conversation");
  const thinking = el("p", { class: "thinking", hidden: true }, el("span", { class: "unseen" }, `${t("playground.thinking")}: `));
  const words = el("p", { class: "words" });
  const foot = el("p", { class: "foot" });
  const answer = el("div", { class: "turn", "aria-busy": "true" }, el("h3", {}, model), thinking, words, foot);
  box.append(el("div", { class: "turn mine" }, el("h3", {}, t("playground.you")), el("p", { class: "words" }, question)), answer);
  box.scrollTop = box.scrollHeight;

  const startedAt = performance.now();
  let firstMs;
  let finish;
  let usage;

  /** Keeps the end in view for whoever is reading there. */
  const append = (parent, child) => {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < followDistance;
    parent.append(child);
    parent.hidden = false;
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  const note = (text) => append(foot, el("span", {}, text));

  return {
    content: "",
    /** A chunk of a streamed chat completion. */
    take(chunk) {
      const { delta, finish_reason: reason } = chunk.choices?.[0] ?? {};
      const thought = delta?.reasoning_content ?? delta?.reasoning;
      if (thought || delta?.content) firstMs ??= performance.now() - startedAt;
      if (thought) append(thinking, thought);
      if (delta?.content) append(words, delta.content);
      this.content += delta?.content ?? "";
      finish = reason ?? finish;
      usage = chunk.usage ?? usage;
    },
    note,
    fail: (text) => append(answer, el("p", { class: "error", role: "alert" }, text)),
    end() {
      answer.removeAttribute("aria-busy");
      if (finish in finishText) note(t(finishText[finish]));
      if (firstMs !== undefined) note(t("playground.first", { time: number(firstMs, { maximumFractionDigits: 0 }) }));
      if (!usage) return;
      note(t("playground.tokens", { input: number(usage.prompt_tokens), output: number(usage.completion_tokens) }));
      if (usage.cost !== undefined) note(rupiah(usage.cost));
    },
  };
}
