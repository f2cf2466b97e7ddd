"use strict";
(function () {
  const filter = document.getElementById("filter");
  const told = document.getElementById("told");
  const changed = document.getElementById("changed");
  const rows = Array.from(document.querySelectorAll("details"), function (row) {
    return { row: row, text: row.querySelector(".name").textContent.toLowerCase() };
  });

  function apply() {
    const words = filter.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const each of rows) {
      const fits = words.every(function (word) { return each.text.includes(word); });
      const kept = !changed || !changed.checked || each.row.dataset.state !== "same";
      each.row.hidden = !(fits && kept);
      count += fits && kept;
    }
    told.textContent = count === rows.length ? "" : count + " of " + rows.length + " projects";
  }

  function unfold(open) {
    return function () {
      for (const each of rows) if (!each.row.hidden) each.row.open = open;
    };
  }

  document.getElementById("open").addEventListener("click", unfold(true));
  document.getElementById("close").addEventListener("click", unfold(false));
  filter.addEventListener("input", apply);
  if (changed) changed.addEventListener("change", apply);
  document.getElementById("tools").hidden = false;
  apply();
})();
