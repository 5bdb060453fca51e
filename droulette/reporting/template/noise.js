
// Of pictures with noise, what the prediction leaves of them.
const openOtherParts = openRow;
openRow = (row) => {
  openOtherParts(row);
  const { residual, chi2 } = data.pictures[shown];
  byId("row-residual").src = residual;
  byId("row-chi2").textContent = chi2;
};
