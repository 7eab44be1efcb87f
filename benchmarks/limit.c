/* Adaptive Dormand-Prince 5(4) over lanes of people, and the adjoint of its discrete steps, for one problem:
   everyone has the same sampling times and one bolus at the first of them. Each lane has its own step size.
   No care is taken of numbers that are not finite: this is a limit of speed, not a solver. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double V __attribute__((vector_size(8 * LANES), aligned(8 * LANES)));
typedef long B __attribute__((vector_size(8 * LANES), aligned(8 * LANES)));

static inline V splat(double x) { return (V){} + x; }
static inline V choose(B mask, V yes, V no) { return (V)(((B)yes & mask) | ((B)no & ~mask)); }
static inline V largest(V x, V y) { return choose(x > y, x, y); }
static inline V smallest(V x, V y) { return choose(x < y, x, y); }
static inline V lanes_neg(V x) { return -x; }
static inline V lanes_abs(V x) { return (V)((B)x & 0x7fffffffffffffffL); }
static inline V lanes_reciprocal(V x) { return 1.0 / x; }
static inline V lanes_sign(V x) { return choose(x > 0.0, splat(1.0), choose(x < 0.0, splat(-1.0), splat(0.0))); }
static inline V lanes_sqrt(V x) {
  V r;
  for (int l = 0; l < LANES; l++) r[l] = __builtin_sqrt(x[l]);
  return r;
}

/* 2^k times a Taylor polynomial on half a factor of two. */
static inline V lanes_exp(V x) {
  V k, r, p = splat(1.0 / 6227020800.0);
  x = smallest(largest(x, splat(-708.0)), splat(709.0));
  for (int l = 0; l < LANES; l++) k[l] = __builtin_rint(x[l] * 1.4426950408889634);
  r = x - k * 6.93147180369123816490e-01 - k * 1.90821492927058770002e-10;
  static const double inverse_factorial[13] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720,
    1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600};
  for (int i = 12; i >= 0; i--) p = p * r + inverse_factorial[i];
  return p * (V)((__builtin_convertvector(k, B) + 1023) << 52);
}

/* k log 2 + 2 artanh(s) with the argument between 1/sqrt(2) and sqrt(2); positive normal numbers only. The
   coefficients are those of bayesglu.solver.vector. */
static inline V lanes_log(V x) {
  B bits = (B)x, k = (bits - 0x3FE6A09E00000000L) >> 52;
  V f = (V)(bits - (k << 52)) - 1.0, s = f / (f + 2.0), z = s * s, power = __builtin_convertvector(k, V);
  V p = splat(1.479819860511658591e-01);
  p = p * z + 1.531383769920937332e-01;
  p = p * z + 1.818357216161805012e-01;
  p = p * z + 2.222219843214978396e-01;
  p = p * z + 2.857142874366239149e-01;
  p = p * z + 3.999999999940941908e-01;
  p = p * z + 6.666666666666735130e-01;
  V half = 0.5 * f * f;
  V low = s * (half + z * p) + power * 1.90821492927058770002e-10;
  return power * 6.93147180369123816490e-01 - ((half - low) - f);
}

#include "physics.h"

typedef struct {
  V stage[6][STATES];
  V h;
  int reached[LANES]; /* the sample that a lane came to, or -1 */
} Step;

static Step *tape;
static long room;

static Step *row(long at) {
  if (at >= room) {
    long larger = room ? 2 * room : 256;
    Step *moved = aligned_alloc(64, larger * sizeof(Step));
    if (room) memcpy(moved, tape, room * sizeof(Step));
    free(tape);
    tape = moved;
    room = larger;
  }
  return tape + at;
}

/* One step: stages, the new state and its slope; returns the mean square error in units of what is allowed. */
static inline V advance(const V *y, V k[7][STATES], const V *c, V h, double tolerance, Step *s, V *y_new) {
  memcpy(s->stage[0], y, sizeof s->stage[0]);
#pragma GCC unroll 7
  for (int n = 1; n < 7; n++) {
    V *place = n < 6 ? s->stage[n] : y_new;
    for (int i = 0; i < STATES; i++) {
      V change = splat(0.0);
#pragma GCC unroll 7
      for (int q = 0; q < n; q++)
        if (STAGE[n][q] != 0.0) change += STAGE[n][q] * k[q][i];
      place[i] = y[i] + h * change;
    }
    rhs(place, 0, c, k[n]);
  }
  V total = splat(0.0);
  for (int i = 0; i < STATES; i++) {
    V e = splat(0.0);
#pragma GCC unroll 7
    for (int q = 0; q < 7; q++)
      if (ERROR[q] != 0.0) e += ERROR[q] * k[q][i];
    V allowed = tolerance * (SCALES[i] + largest(lanes_abs(y[i]), lanes_abs(y_new[i])));
    e = h * e / allowed;
    total += e * e;
  }
  return total * (1.0 / STATES);
}

static long forward(long stops, double tolerance, const double *times, V *y, const V *c, V (*seen)[STATES]) {
  V k[7][STATES], y_new[STATES], t = splat(times[0]), h = splat(1.0), taken = splat(0.0), next;
  long stop[LANES] = {0}, at = 0, remaining = LANES;
  double ahead[LANES];
  int last[LANES];
  rhs(y, 0, c, k[0]);
  while (remaining > 0) {
    Step *s = row(at++);
    for (int l = 0; l < LANES; l++) {
      ahead[l] = stop[l] + 1 < stops ? times[stop[l] + 1] - t[l] : 0.0;
      last[l] = h[l] * 1.0001 >= ahead[l];
      taken[l] = last[l] ? ahead[l] : 2.0 * h[l] > ahead[l] ? 0.5 * ahead[l] : h[l];
    }
    V error = advance(y, k, c, taken, tolerance, s, y_new);
    V factor = 0.9 * lanes_exp(-0.1 * lanes_log(largest(error, splat(1e-20))));
    factor = largest(smallest(factor, splat(5.0)), splat(0.2));
    B moved = error <= 1.0;
    s->h = choose(moved, taken, splat(0.0));
    for (int i = 0; i < STATES; i++) {
      y[i] = choose(moved, y_new[i], y[i]);
      k[0][i] = choose(moved, k[6][i], k[0][i]);
    }
    next = taken * factor;
    for (int l = 0; l < LANES; l++) {
      s->reached[l] = -1;
      if (stop[l] + 1 >= stops) continue;
      if (!moved[l]) {
        h[l] = next[l];
        if (h[l] < 1e-9) return -1;
      } else if (!last[l]) {
        t[l] += taken[l];
        h[l] = next[l];
      } else {
        h[l] = factor[l] < 5.0 ? next[l] : fmax(h[l], next[l]);
        stop[l]++;
        t[l] = times[stop[l]];
        s->reached[l] = stop[l];
        for (int i = 0; i < STATES; i++) seen[stop[l]][i][l] = y[i][l];
        if (stop[l] + 1 == stops) remaining--;
      }
    }
  }
  return at;
}

static void backward(long steps, const V *c, V (*bar_seen)[STATES], V *bar_y, V *bar_c) {
  V bar_k[6][STATES], pulled[STATES];
  for (long at = steps - 1; at >= 0; at--) {
    const Step *s = tape + at;
    for (int l = 0; l < LANES; l++)
      if (s->reached[l] >= 0)
        for (int i = 0; i < STATES; i++) bar_y[i][l] += bar_seen[s->reached[l]][i][l];
#pragma GCC unroll 6
    for (int n = 0; n < 6; n++)
      for (int i = 0; i < STATES; i++) bar_k[n][i] = STAGE[6][n] * s->h * bar_y[i];
#pragma GCC unroll 6
    for (int n = 5; n >= 0; n--) {
      rhs_adjoint(s->stage[n], 0, c, bar_k[n], pulled, bar_c);
      for (int i = 0; i < STATES; i++) bar_y[i] += pulled[i];
#pragma GCC unroll 6
      for (int q = 0; q < n; q++)
        if (STAGE[n][q] != 0.0)
          for (int i = 0; i < STATES; i++) bar_k[q][i] += STAGE[n][q] * s->h * pulled[i];
    }
  }
}

/* Outputs (person, time, output) and the gradient (person, parameter) of the sum of weights times outputs. */
int value_and_gradient(long people, long stops, double tolerance, const double *theta, const double *times,
                       const double *dose, const double *weights, double *out, double *gradient) {
  V parameters[PARAMETERS], bar_parameters[PARAMETERS], c[COEFFICIENTS], bar_c[COEFFICIENTS];
  V y[STATES], bar_y[STATES], seen_out[OUTPUTS], bar_out[OUTPUTS];
  V (*seen)[STATES] = aligned_alloc(64, 2 * stops * sizeof *seen), (*bar_seen)[STATES] = seen + stops;
  int failed = 0;
  for (long first = 0; first < people; first += LANES) {
    long who[LANES];
    for (int l = 0; l < LANES; l++) {
      who[l] = first + l < people ? first + l : people - 1;
      for (int i = 0; i < PARAMETERS; i++) parameters[i][l] = theta[who[l] * PARAMETERS + i];
    }
    setup(parameters, c, y);
    memcpy(seen[0], y, sizeof y);
    give(dose, c, y);
    long steps = forward(stops, tolerance, times, y, c, seen);
    if (steps < 0) { failed = 1; break; }
    memset(bar_c, 0, sizeof bar_c);
    memset(bar_y, 0, sizeof bar_y);
    for (long s = 0; s < stops; s++) {
      observe(seen[s], 0, c, seen_out);
      for (int l = 0; l < LANES; l++)
        for (int i = 0; i < OUTPUTS; i++) {
          out[(who[l] * stops + s) * OUTPUTS + i] = seen_out[i][l];
          bar_out[i][l] = weights[(who[l] * stops + s) * OUTPUTS + i];
        }
      observe_adjoint(seen[s], 0, c, bar_out, bar_seen[s], bar_c);
    }
    backward(steps, c, bar_seen, bar_y, bar_c);
    give_adjoint(dose, bar_y, bar_c);
    for (int i = 0; i < STATES; i++) bar_y[i] += bar_seen[0][i];
    setup_adjoint(parameters, bar_c, bar_y, bar_parameters);
    for (int l = 0; l < LANES; l++)
      for (int i = 0; i < PARAMETERS; i++) gradient[who[l] * PARAMETERS + i] = bar_parameters[i][l];
  }
  free(seen);
  return failed;
}
