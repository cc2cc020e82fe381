(() => {
  const every = 5000; // as often as the page without scripts
  const stale = document.getElementById("stale");
  const say = (text) => { stale.textContent = text; stale.hidden = text === ""; };
  const shown = () => document.querySelector("main time").textContent;

  async function refresh() {
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(8000) });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text);
      const next = new DOMParser().parseFromString(text, "text/html");
      if (getSelection().type === "Range") { // somebody copies a command
        say("Not refreshed while text is selected. This is of " + shown() + ".");
        return;
      }
      document.querySelector("main").replaceWith(next.querySelector("main time").closest("main"));
      document.title = next.title;
      say("");
    } catch {
      say("The worker does not answer. This is of " + shown() + ".");
    } finally {
      setTimeout(refresh, every);
    }
  }
  setTimeout(refresh, every);
})();
