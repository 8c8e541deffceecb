"use strict";
(() => {
  const form = document.getElementById("filters");
  const outcome = document.getElementById("outcome");
  const data = document.getElementById("crossed");
  const crossed = data ? JSON.parse(data.textContent) : null;
  // A narrow screen scrolls far enough past a dozen.
  const first = innerWidth < 600 ? 12 : 24;
  const lists = [["kept", first], ["notkept", first]].flatMap(([id, step]) => {
    const box = document.getElementById(id);
    if (!box) return [];
    const cards = [...box.querySelectorAll(":scope > article")];
    const words = cards.map((card) => card.textContent.toLowerCase());
    const more = document.createElement("button");
    more.type = "button";
    more.className = "more";
    box.after(more);
    const list = { box, cards, words, more, step, shown: step };
    more.addEventListener("click", () => {
      const from = list.shown;
      list.shown += list.step;
      show();
      // The first of those that came new, for whoever goes on with the keyboard.
      const next = list.found[from];
      if (next) { next.tabIndex = -1; next.focus({ preventScroll: true }); }
    });
    return [list];
  });

  const asked = () => Object.fromEntries([...new FormData(form)].map(([k, v]) => [k, v.trim()]).filter(([, v]) => v));
  const many = (number) => number.toLocaleString("en");

  function fits(card, words, wish) {
    for (const [name, value] of Object.entries(wish)) {
      if (name === "q") {
        if (!value.toLowerCase().split(/\s+/).every((word) => words.includes(word))) return false;
      } else if (name === "min" || name === "max") {
        const score = card.dataset.score;
        if (!score || (name === "min" ? +score < +value : +score > +value)) return false;
      } else if (card.dataset[name] !== value) return false;
    }
    return true;
  }

  // How many rows of the whole dataset fit; null where only the pictures can tell.
  function counted(wish) {
    if (!crossed || Object.keys(wish).some((name) => name !== "verdict" && !crossed.names.includes(name))) return null;
    if (wish.verdict && wish.verdict !== "kept") return null;
    const codes = crossed.names.map((name) => (name in wish ? crossed.values[name].indexOf(wish[name]) : null));
    return crossed.rows.reduce((sum, row) => sum + (codes.every((c, i) => c === null || c === row[i]) ? row[codes.length] : 0), 0);
  }

  function show() {
    const wish = asked();
    let found = 0;
    for (const list of lists) {
      list.found = list.cards.filter((card, at) => fits(card, list.words[at], wish));
      const visible = new Set(list.found.slice(0, list.shown));
      for (const card of list.cards) card.hidden = !visible.has(card);
      const left = list.found.length - visible.size;
      list.more.hidden = left <= 0;
      list.more.textContent = `Show ${Math.min(left, list.step)} more of ${many(left)}`;
      found += list.found.length;
    }
    const rows = counted(wish);
    const kept = lists.length ? lists[0].found.length : 0;
    const none = Object.keys(wish).length === 0;
    outcome.textContent = none ? `All ${many(found)} pictures.`
      : `${many(found)} pictures fit${found > kept ? `, ${many(found - kept)} of them not kept` : ""}.` +
        (rows === null ? "" : ` In the whole dataset: ${many(rows)} rows.`);
    for (const chip of document.querySelectorAll(".chips a")) {
      chip.toggleAttribute("aria-current", chip.dataset.reason === (wish.reason || ""));
    }
  }

  // What is chosen stands in the address, so that a link leads to the same choice.
  function written() {
    const text = new URLSearchParams(asked()).toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }
  function read() {
    const text = location.hash.slice(1);
    if (!text.includes("=")) return false;
    form.reset();
    for (const [name, value] of new URLSearchParams(text)) {
      const field = form.elements.namedItem(name);
      if (field) field.value = value;
    }
    const wish = asked();
    const target = wish.reason || (wish.verdict && wish.verdict !== "kept") ? "refused" : "tiles";
    changed();
    (document.getElementById(target) || form).scrollIntoView();
    return true;
  }
  function changed() {
    for (const list of lists) list.shown = list.step;
    show();
  }

  form.hidden = false;
  for (const each of document.querySelectorAll(".scripted")) each.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { changed(); written(); });
  form.addEventListener("reset", () => setTimeout(() => { changed(); written(); }));
  addEventListener("hashchange", read);
  document.addEventListener("click", (event) => {
    const chip = event.target.closest('.chips a[data-reason=""]');
    if (chip) { event.preventDefault(); form.elements.namedItem("reason").value = ""; changed(); written(); }
  });
  if (!read()) show();

  // Maps come nearer with buttons, and are dragged.
  for (const svg of document.querySelectorAll("svg.near")) {
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    let x = 0, y = 0, zoom = 1;
    const bar = document.createElement("div");
    bar.className = "zoom";
    const draw = () => {
      x = Math.min(Math.max(x, 0), width - width / zoom);
      y = Math.min(Math.max(y, 0), height - height / zoom);
      svg.setAttribute("viewBox", `${x} ${y} ${width / zoom} ${height / zoom}`);
      svg.style.setProperty("--zoom", zoom);
      svg.classList.toggle("close", zoom > 1);
      bar.children[1].disabled = bar.children[2].disabled = zoom === 1;
      bar.children[0].disabled = zoom >= 16;
    };
    const to = (factor) => {
      const next = Math.min(Math.max(zoom * factor, 1), 16);
      x += width / zoom / 2 - width / next / 2;
      y += height / zoom / 2 - height / next / 2;
      zoom = next;
      draw();
    };
    for (const [sign, words, press] of [["+", "Nearer", () => to(2)], ["−", "Farther", () => to(0.5)], ["⤢", "Whole place", () => { zoom = 1; draw(); }]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.setAttribute("aria-label", words);
      button.addEventListener("click", press);
      bar.append(button);
    }
    svg.parentElement.append(bar);
    svg.addEventListener("pointerdown", (start) => {
      if (zoom === 1) return;
      svg.setPointerCapture(start.pointerId);
      const from = [x, y], scale = width / zoom / svg.clientWidth;
      const move = (event) => {
        x = from[0] - (event.clientX - start.clientX) * scale;
        y = from[1] - (event.clientY - start.clientY) * scale;
        draw();
      };
      svg.addEventListener("pointermove", move);
      svg.addEventListener("pointerup", () => svg.removeEventListener("pointermove", move), { once: true });
    });
    draw();
  }
})();
