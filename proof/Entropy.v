(* SPDX-License-Identifier: Apache-2.0 *)
(** Binary entropy and its slope, the logit. *)
From Coq Require Import Reals Lra.
From Thermoe Require Import ProblemStatement.
Open Scope R_scope.

Lemma ln_below w : 0 < w -> w <> 1 -> ln w < w - 1.
Proof.
  intros Hw Hne.
  assert (ln w <> 0) as Hl by (intros E; apply Hne; rewrite <- (exp_ln w Hw), E; apply exp_0).
  pose proof (exp_ineq1 (ln w) Hl) as H. rewrite (exp_ln w Hw) in H. lra.
Qed.

(** y log y lies above its tangent at z, whose value at y is y log z + y - z. *)
Lemma xlogx_above y z : 0 <= y -> 0 < z -> y <> z -> y * ln z + (y - z) < y * ln y.
Proof.
  intros Hy Hz Hne. destruct (Req_dec y 0) as [-> | Hy0]; [lra |].
  assert (0 < z / y) as Hq by (apply Rdiv_lt_0_compat; lra).
  assert (z / y <> 1) as Hq1 by (intros E; apply Hne; apply (Rmult_eq_compat_r y) in E; field_simplify in E; lra).
  pose proof (ln_below _ Hq Hq1) as H.
  unfold Rdiv in H. rewrite ln_mult, ln_Rinv in H by (try apply Rinv_0_lt_compat; lra).
  apply (Rmult_lt_compat_l y) in H; [| lra].
  replace (y * (z * / y - 1)) with (z - y) in H by (field; lra). lra.
Qed.

Definition logit (z : R) : R := ln (z / (1 - z)).

Lemma logit_difference z : 0 < z < 1 -> logit z = ln z - ln (1 - z).
Proof.
  intros Hz. unfold logit, Rdiv. rewrite ln_mult, ln_Rinv; try lra. apply Rinv_0_lt_compat; lra.
Qed.

Lemma entropy_above y z : 0 <= y <= 1 -> 0 < z < 1 -> y <> z -> entropy z + logit z * (y - z) < entropy y.
Proof.
  intros Hy Hz Hne. rewrite (logit_difference z Hz). unfold entropy.
  pose proof (xlogx_above y z ltac:(lra) ltac:(lra) Hne).
  pose proof (xlogx_above (1 - y) (1 - z) ltac:(lra) ltac:(lra) ltac:(lra)). lra.
Qed.

(** The gap to the tangent is what makes an optimum one. *)
Lemma entropy_gap y z : 0 <= y <= 1 -> 0 < z < 1 -> 0 <= entropy y - entropy z - logit z * (y - z).
Proof.
  intros Hy Hz. destruct (Req_dec y z) as [-> | Hne]; [lra |].
  pose proof (entropy_above y z Hy Hz Hne). lra.
Qed.

Theorem entropy_strictly_convex : Entropy_strictly_convex.
Proof.
  intros a s t Ha Hs Ht Hne. unfold interval in *. set (z := a * s + (1 - a) * t).
  assert (0 < z < 1) as Hz by (unfold z; split; destruct (Rlt_le_dec s t); nra).
  assert (s - z = (1 - a) * (s - t)) as E by (unfold z; ring).
  assert (t - z = - (a * (s - t))) as E' by (unfold z; ring).
  assert (s <> z) as Hsz by (intros Q; assert ((1 - a) * (s - t) = 0) as P by lra;
                             apply Rmult_integral in P; lra).
  assert (t <> z) as Htz by (intros Q; assert (a * (s - t) = 0) as P by lra;
                             apply Rmult_integral in P; lra).
  pose proof (entropy_above s z Hs Hz Hsz) as Hps. pose proof (entropy_above t z Ht Hz Htz) as Hpt.
  rewrite E in Hps. rewrite E' in Hpt.
  apply (Rmult_lt_compat_l a) in Hps; [| lra]. apply (Rmult_lt_compat_l (1 - a)) in Hpt; [| lra].
  lra.
Qed.

Lemma entropy_convex : convex1 (interval 0 1) entropy.
Proof.
  intros a s t Ha Hs Ht. destruct (Req_dec s t) as [-> | Hne].
  - replace (a * t + (1 - a) * t) with t by ring. lra.
  - destruct (Req_dec a 0) as [-> | ]; [| destruct (Req_dec a 1) as [-> | ]].
    + replace (0 * s + (1 - 0) * t) with t by ring. lra.
    + replace (1 * s + (1 - 1) * t) with s by ring. lra.
    + apply Rlt_le, entropy_strictly_convex; auto; lra.
Qed.

Lemma sigma_range z : 0 < sigma z < 1.
Proof.
  unfold sigma. pose proof (exp_pos (- z)). split.
  - apply Rdiv_lt_0_compat; lra.
  - apply (Rmult_lt_reg_r (1 + exp (- z))); [lra |]. field_simplify; lra.
Qed.

Lemma logit_sigma z : logit (sigma z) = z.
Proof.
  unfold logit, sigma. pose proof (exp_pos (- z)).
  replace (1 / (1 + exp (- z)) / (1 - 1 / (1 + exp (- z)))) with (/ exp (- z)) by (field; lra).
  rewrite <- exp_Ropp, Ropp_involutive. apply ln_exp.
Qed.

Lemma sigma_logit x : 0 < x < 1 -> sigma (logit x) = x.
Proof.
  intros Hx. unfold sigma, logit. rewrite exp_Ropp, exp_ln by (apply Rdiv_lt_0_compat; lra). field; lra.
Qed.

Theorem logit_is_fermi : Logit_is_fermi.
Proof.
  intros tau z x Htau. change (ln (x / (1 - x))) with (logit x). split.
  - intros [Hx ->]. replace (tau * logit x / tau) with (logit x) by (field; lra). now rewrite sigma_logit.
  - intros ->. split; [apply sigma_range |]. rewrite logit_sigma. field; lra.
Qed.
