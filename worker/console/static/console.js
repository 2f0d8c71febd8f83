// What makes the pages live: clocks, refresh, keys, completion, selection. Reading works without it.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const skew = Number(document.body.dataset.now) - Date.now();
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

  // times
  const units = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  function span(seconds, isShort) {
    const whole = Math.max(0, Math.round(seconds));
    for (const [large, unit, small, rest] of units) {
      if (whole < large) continue;
      const left = Math.floor((whole % large) / small);
      return `${Math.floor(whole / large)} ${unit}` + (left && !isShort ? ` ${left} ${rest}` : "");
    }
    return `${whole} s`;
  }
  const two = (n) => String(n).padStart(2, "0");
  const local = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  const utc = (d) => d.toISOString().slice(0, 19).replace("T", " ");
  let isLocal = kept("clock") === "local";
  const shown = (d) => (isLocal ? `${local(d)} local` : `${utc(d)} UTC`);
  function put(node, text) { if (node.textContent !== text) node.textContent = text; }
  function tick() {
    const now = Date.now() + skew;
    for (const node of all("time")) {
      const at = new Date(node.dateTime), seconds = (at - now) / 1000;
      if ("ago" in node.dataset) put(node, `${span(-seconds, true)} ago`);
      else if ("left" in node.dataset) put(node, seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`);
      else if ("expected" in node.dataset) put(node, seconds > 0 ? `in ${span(seconds)}` : "any moment");
      else if ("exact" in node.dataset) put(node, shown(at).slice(0, 19));
      node.title = shown(at);
    }
  }
  const clock = $("#clock");
  if (clock) {
    clock.closest(".pulse").hidden = false;
    const tell = () => { put(clock, isLocal ? "Local" : "UTC"); for (const head of all("th")) if (/\((UTC|local)\)/.test(head.textContent)) put(head, head.textContent.replace(/\((UTC|local)\)/, isLocal ? "(local)" : "(UTC)")); tick(); };
    clock.addEventListener("click", () => { isLocal = !isLocal; try { localStorage.setItem("clock", isLocal ? "local" : "utc"); } catch { /* a choice for this page alone */ } tell(); });
    tell();
  }
  setInterval(tick, 1000);

  // login by a link: the secret stands behind the #, which no server and no log sees
  const door = $("#login");
  function enter() {
    if (!door || !location.hash.startsWith("#token=")) return;
    $("#token").value = decodeURIComponent(location.hash.slice(7));
    history.replaceState(null, "", location.pathname + location.search);
    door.submit();
  }
  addEventListener("hashchange", enter);
  enter();

  // frames and videos, once they come into view
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      target.preload = "metadata";
      if (target.dataset.lazy) target.src = target.dataset.lazy;
    }
  }, { rootMargin: "120px" });
  const look = () => { for (const video of all("video[data-lazy]:not([src]), video[preload=none]")) seen.observe(video); };
  look();
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  for (const frame of all(".take video")) {
    frame.controls = false;
    const play = () => { if (!isCalm.matches) frame.play().catch(() => {}); }, stop = () => frame.pause();
    const take = frame.closest(".take");
    take.addEventListener("mouseenter", play); take.addEventListener("mouseleave", stop);
    take.addEventListener("focusin", play); take.addEventListener("focusout", stop);
  }

  // refresh: every part marked data-live is brought up to date in its place; nothing is moved under a person's hand
  const every = Number(document.body.dataset.refresh) * 1000, pulse = $("#pulse");
  let refreshedAt = Date.now(), isHeld = false, isLost = "";
  function whyHeld() {
    const count = all("input[name=job]:checked").length;
    if (isHeld) return "Held";
    if (document.hidden) return "Held: hidden";
    if (count) return `Held: ${count} selected`;
    if ($("dialog[open]") || document.activeElement?.matches("input:not([type=checkbox]), textarea")) return "Held: in use";
    return "";
  }
  function tell() {
    if (!pulse) return;
    const held = whyHeld();
    pulse.classList.toggle("held", Boolean(held));
    pulse.classList.toggle("lost", Boolean(isLost));
    put(pulse, held || isLost || `Live, ${span((Date.now() - refreshedAt) / 1000)} ago`);
  }
  function same(a, b) {
    if (a.isEqualNode(b)) return;
    if (a.nodeName !== b.nodeName || a.nodeType !== 1) { a.replaceWith(document.importNode(b, true)); return; }
    for (const { name } of [...a.attributes]) if (!b.hasAttribute(name) && !["open", "src"].includes(name)) a.removeAttribute(name);
    for (const { name, value } of [...b.attributes]) if (a.getAttribute(name) !== value && name !== "preload") a.setAttribute(name, value);
    if (["VIDEO", "INPUT", "TEXTAREA"].includes(a.nodeName)) return;
    const old = [...a.childNodes], fresh = [...b.childNodes];
    fresh.forEach((node, n) => (old[n] ? same(old[n], node) : a.append(document.importNode(node, true))));
    old.slice(fresh.length).forEach((node) => node.remove());
  }
  function sameRows(body, fresh) {
    const rows = new Map(all(":scope > [data-key]", fresh).map((row) => [row.dataset.key, row]));
    let isFull = true;
    for (const row of all(":scope > [data-key]", body)) {
      const now = rows.get(row.dataset.key);
      row.classList.toggle("gone", !now && isFull);
      if (now) { const was = row.querySelector(".state")?.textContent; same(row, now); if (row.querySelector(".state")?.textContent !== was) row.classList.add("flash"); rows.delete(row.dataset.key); }
    }
    news(rows.size);
  }
  function news(count) {
    let note = $("#news");
    if (!note && count) {
      note = Object.assign(document.createElement("a"), { id: "news", className: "news", href: location.href });
      $(".head h1").append(note);
    }
    if (note) { note.hidden = !count; put(note, `${count} new: show`); }
  }
  async function refresh() {
    if (whyHeld() || Date.now() - refreshedAt < every) return;
    refreshedAt = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected) { isLost = "Signed out"; return; }
      if (!answer.ok) { isLost = `No answer (${answer.status})`; return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (whyHeld()) return;
      for (const old of all("[data-live]")) {
        const now = $(`[data-live="${CSS.escape(old.dataset.live)}"]`, fresh);
        if (now) ("rows" in old.dataset ? sameRows : same)(old, now);
      }
      isLost = "";
      look(); tick();
    } catch { isLost = "No answer"; } finally { refreshedAt = Date.now(); tell(); }
  }
  if (pulse && every) {
    pulse.addEventListener("click", () => { isHeld = !isHeld; pulse.setAttribute("aria-pressed", String(isHeld)); tell(); });
    setInterval(() => { tell(); refresh(); }, 500);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshedAt = Math.min(refreshedAt, Date.now() - every); });
  }

  // selection
  const bar = $("#bulk .acts"), pickAll = $("#all");
  function count() {
    const boxes = all("input[name=job]"), chosen = boxes.filter((box) => box.checked).length;
    const isMatching = $("input[name=matching]")?.checked;
    if (bar) { bar.hidden = !chosen && !isMatching && !$("input[name=matching]"); put($("#selected"), isMatching ? "All that match" : `${chosen} selected`); }
    if (pickAll) { pickAll.checked = chosen > 0 && chosen === boxes.length; pickAll.indeterminate = chosen > 0 && chosen < boxes.length; }
    tell();
  }
  if (bar) {
    if (pickAll) { pickAll.hidden = false; pickAll.addEventListener("change", () => { for (const box of all("input[name=job]")) box.checked = pickAll.checked; count(); }); }
    document.addEventListener("change", (event) => { if (event.target.matches("input[name=job], input[name=matching]")) count(); });
    count();
  }

  // copying a command line
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) navigator.clipboard?.writeText($(button.dataset.copy).textContent).then(() => put(button, "Copied"), () => {});
  });

  // keys
  const items = () => all("tbody[data-rows] .id a, [data-step]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select") || $("dialog[open]")) return;
    const key = event.key, list = items();
    if (key === "/" && $("#q")) { event.preventDefault(); $("#q").focus(); $("#q").select(); }
    else if (key === "?" && $("#keys")) { event.preventDefault(); $("#keys").showModal(); }
    else if ((key === "j" || key === "k") && list.length) {
      const row = document.activeElement.closest("tr, [data-step]");
      const at = list.findIndex((link) => link === document.activeElement || (row && row.contains(link)));
      const next = list[at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + (key === "j" ? 1 : -1)))];
      next.focus(); next.scrollIntoView({ block: "nearest" });
    } else if (key === "x") {
      const box = document.activeElement.closest("tr")?.querySelector("input[name=job]");
      if (box) { box.checked = !box.checked; count(); }
    }
  });

  // completion of search terms
  const field = $("#q"), list = $("#suggestions");
  if (field && list && $("#terms")) {
    const { values, meanings } = JSON.parse($("#terms").textContent);
    for (const link of all(".id .sub")) { const tenant = link.textContent.split(" · ")[2]; if (tenant && !values["tenant:"].includes(tenant)) values["tenant:"].push(tenant); }
    let chosen = -1;
    Object.entries({ role: "combobox", "aria-expanded": "false", "aria-controls": "suggestions", "aria-autocomplete": "list" }).forEach(([name, value]) => field.setAttribute(name, value));
    const word = () => field.value.slice(0, field.selectionStart).split(/\s/).pop();
    function close() { list.hidden = true; chosen = -1; field.setAttribute("aria-expanded", "false"); field.removeAttribute("aria-activedescendant"); }
    function offer() {
      const typed = word(), colon = typed.indexOf(":");
      const name = colon < 0 ? "" : typed.slice(0, colon + 1), rest = colon < 0 ? typed : typed.slice(colon + 1);
      const last = rest.slice(rest.lastIndexOf(",") + 1), head = name + rest.slice(0, rest.length - last.length);
      const found = name ? (values[name] || []).filter((value) => value.startsWith(last) && value !== last) : Object.keys(values).filter((term) => term.startsWith(typed));
      list.replaceChildren(...found.slice(0, 12).map((text, n) => {
        const item = document.createElement("li"), label = document.createElement("b"), note = document.createElement("span");
        item.id = `term-${n}`; item.setAttribute("role", "option"); item.dataset.text = name ? head + text : text;
        label.textContent = text; note.textContent = name ? "" : meanings[text.replace(/:$/, "")] || "";
        item.append(label, note);
        item.addEventListener("mousedown", (event) => { event.preventDefault(); take(item); });
        return item;
      }));
      chosen = -1; list.hidden = !found.length; field.setAttribute("aria-expanded", String(Boolean(found.length)));
    }
    function take(item) {
      const at = field.selectionStart, start = at - word().length, text = item.dataset.text + (item.dataset.text.includes(":") && !item.dataset.text.endsWith(":") ? " " : "");
      field.setRangeText(text, start, at, "end"); field.focus(); offer();
    }
    field.addEventListener("input", offer);
    field.addEventListener("focus", offer);
    field.addEventListener("blur", close);
    field.addEventListener("keydown", (event) => {
      const found = all("li", list);
      if (event.key === "Escape") { if (list.hidden) field.blur(); else close(); event.preventDefault(); return; }
      if (list.hidden || !found.length) return;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        chosen = (chosen + (event.key === "ArrowDown" ? 1 : -1) + found.length) % found.length;
        found.forEach((item, n) => item.setAttribute("aria-selected", String(n === chosen)));
        field.setAttribute("aria-activedescendant", found[chosen].id);
        found[chosen].scrollIntoView({ block: "nearest" });
        event.preventDefault();
      } else if (chosen >= 0 && (event.key === "Enter" || event.key === "Tab")) { take(found[chosen]); event.preventDefault(); }
      else if (event.key === "Enter") close();
    });
  }
})();
