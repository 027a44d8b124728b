// Where the links in letters lead: `#verify=CODE`, `#reset=CODE`. What stands behind # is never sent to a server by itself.

const $ = (id) => document.getElementById(id);
const [purpose, code] = location.hash.slice(1).split("=");
history.replaceState(null, "", location.pathname); // a code does not stay in the address

async function send(path, body) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  if (answer.ok) return;
  const found = await answer.json();
  throw new Error(found.errors?.length ? found.errors.map((each) => `${each.loc} ${each.msg}`).join("; ") : found.detail);
}

function whenSent(section, path, said, body) {
  const form = $(section).querySelector("form");
  $(section).hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = form.querySelector(".problem");
    problem.textContent = "";
    try {
      await send(path, body(Object.fromEntries(new FormData(form))));
      $("state").textContent = said;
      $(section).hidden = true;
    } catch (error) {
      problem.textContent = error.message;
    }
  });
}

if (purpose === "verify") {
  send("/api/v1/email-verification/confirm", { code }).then(
    () => ($("state").textContent = "This address is verified now."),
    (error) => ($("state").textContent = `This did not work: ${error.message}.`),
  );
} else if (purpose === "reset") {
  const said = "You have a new password now, and every login has ended. Log in with it.";
  whenSent("reset", "/api/v1/password-resets/confirm", said, ({ password }) => ({ code, password }));
} else {
  const said = "If an account has this address, a letter with a link is on its way.";
  whenSent("forgot", "/api/v1/password-resets", said, ({ email }) => ({ email }));
}
