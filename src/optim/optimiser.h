/* SPDX-License-Identifier: Apache-2.0
 *
 * optimiser.h: the rows of optimisers.def, each defined in its own file.
 */
#ifndef NNR_OPTIMISER_H
#define NNR_OPTIMISER_H

#include "optim/optim.h"

#define OPTIMISER(NAME, name) extern const nnr__optimiser nnr__optimiser_##name;
#include "optim/optimisers.def"
#undef OPTIMISER

#endif
