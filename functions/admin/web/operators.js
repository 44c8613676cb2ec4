/** Who may sign in here, and how they come back when they lost their passkey. */
import { ask } from "./api.js";
import { action, badge, el, field, form, heading, input, note, section, table } from "./dom.js";
import { time } from "./format.js";

export async function operatorsPage(reload) {
  const { you, operators } = await ask("/operators");
  const links = el("div", {});
  const showLink = (text) => ({ link, hours }) =>
    links.replaceChildren(
      el("section", { class: "link", "aria-label": "Enrolment link" }, el("h2", {}, text), note(`Shown once; it counts for ${hours} hours and one passkey. Hand it over in person, or by a channel that you trust.`), el("output", {}, link)),
    );
  return [
    heading("Operators"),
    links,
    table(
      "Operators",
      ["Name", "State", { title: "Passkeys", number: true }, { title: "Sessions", number: true }, "Since (UTC)", "Change"],
      operators.map(({ id, name, createdAt, disabledAt, passkeys, sessions }) => [
        id === you ? `${name} (you)` : name,
        disabledAt ? badge(`disabled ${time(disabledAt).slice(0, 10)}`) : badge("active", "good"),
        passkeys, sessions, time(createdAt),
        disabledAt || id === you ? null : el("div", { class: "row" },
          action("New link", async () => showLink(`For ${name}, who lost their passkey`)(await ask("/operators/recover", { operatorId: id })), { danger: `When ${name} enrols by it, all their former passkeys and sessions end.` }),
          action("Disable", async () => {
            await ask("/operators/disable", { operatorId: id });
            await reload();
            return "Disabled";
          }, { danger: `${name} is signed out at once, and cannot come back under this name.` }),
        ),
      ]),
      "Actions",
    ),
    section("New operator", form(
      [field("Name", input("name", { required: true, pattern: "[a-z][a-z0-9._\\-]{0,31}", maxlength: 32, title: "lower case letters, digits and . _ -" }))],
      "Make an enrolment link",
      async ({ name }) => showLink(`For ${name}`)(await ask("/operators/create", { name })),
      { inline: true },
    )),
    section("Yourself", el("div", { class: "row" },
      action("Add a passkey", async () => showLink("For another device of yours")(await ask("/passkeys/add"))),
      action("Sign out everywhere", async () => {
        await ask("/sign-out", { everywhere: true });
        await reload();
      }),
    )),
  ];
}
