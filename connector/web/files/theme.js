// Sets the theme before anything is drawn. "auto" is what the system says.
(() => {
  let theme = 'auto';
  try {
    theme = localStorage.getItem('waltap.theme') || 'auto';
  } catch { /* storage is switched off: the system's theme */ }
  document.documentElement.dataset.theme = theme;
})();
